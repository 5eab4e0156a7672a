"""What an operator does to a whole installation, each in one function that a running core and a command line share.

site        an open installation: settings, catalog, event store, journals
perform     the operations by name
operator_api, ask   through a running core's `operator.sock`, or without one
load, derive, erase, backup, restore, export, replay   the operations
derivations   what a running core derives by itself
"""
