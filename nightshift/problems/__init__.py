"""The kinds of answer a task can have: how a batch is made, what is a loss, what is answered."""
