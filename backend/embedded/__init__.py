"""Real servers for a machine that has none, and the configuration that says which server is meant.

Imports nothing of the platform: everything else may import this.
"""
