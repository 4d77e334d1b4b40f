"""What is wrong with a spec, and where: codes, spans, suggestions, and their rendering as text and JSON."""
