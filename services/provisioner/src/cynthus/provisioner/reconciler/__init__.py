"""Keeps ledger, provider and need together, with or without messages."""

from cynthus.provisioner.reconciler.loop import Look, Reconciler

__all__ = ["Look", "Reconciler"]
