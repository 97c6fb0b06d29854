"""The demo of Switchyard: how late a flight will land, predicted, served, and judged by what then happened."""
