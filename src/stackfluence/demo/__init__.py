"""The demo: a sample organization, and live traffic that talks real HTTP and counts what must be stored.

contents, sample     who the sample organization is, and how it comes into the catalog
headers.json         what clients send, in order and case     header_sets, wire  how it is sent
visitor              one visitor, each deed counted by its answer
journeys, buying, shop  what visitors do
traffic              how many come                            sent, stored, judged, progress  whether the store agrees
"""

from stackfluence.demo.progress import show
from stackfluence.demo.sample import Sample, prepare
from stackfluence.demo.sent import Sent, compare
from stackfluence.demo.traffic import drive

__all__ = ["Sample", "Sent", "compare", "drive", "prepare", "show"]
