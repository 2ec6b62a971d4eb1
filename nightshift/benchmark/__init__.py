"""How fast parts of Nightshift are on this machine: `nightshift benchmark`."""
