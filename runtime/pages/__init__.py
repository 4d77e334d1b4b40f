"""What a run gave, as HTML: for pages that stand alone and for notebooks. Knows neither the compiler nor JAX."""
