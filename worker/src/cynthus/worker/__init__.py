"""The agent on a machine: runs one attempt after another. Standard library only."""
