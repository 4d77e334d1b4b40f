"""Programs that make the figures which shipped specs are compared with."""
