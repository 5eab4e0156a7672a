"""Stackfluence: influencer traffic, measured from click to conversion and proved to the cent."""

__version__ = "0.1.0"
