"""JSON Schemas that ship with vspec."""
