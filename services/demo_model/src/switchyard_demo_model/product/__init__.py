"""The product that lives on the model: it asks the gateway, and tells what was decided and what happened."""
