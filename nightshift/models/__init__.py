"""One network a file, each with `build`; `networks.build` finds them by name."""
