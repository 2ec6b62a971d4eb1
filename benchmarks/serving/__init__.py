"""How fast the model server answers, and what it does when something goes wrong around it. docs/load.md."""
