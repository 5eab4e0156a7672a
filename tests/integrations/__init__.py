"""Recipes for tag managers and shops, run as far as that is possible without them."""
