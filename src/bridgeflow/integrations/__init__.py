"""BridgeFlow inside other packages: one module for each, which imports its package when it is first used."""
