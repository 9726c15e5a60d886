"""Images of the locked environment, and the launcher that runs a stage in one of them."""
