"""Checked at run time, never imports the compiler."""
