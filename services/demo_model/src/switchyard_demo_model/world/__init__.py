"""The world around the model: flights that leave and land, a dispatcher who decides, and a clock that runs fast."""
