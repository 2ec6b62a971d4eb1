"""Training on several nodes, by a TrainJob of Kubeflow Trainer: made, followed, taken over, taken away. No TensorFlow.

`train_on_nodes(...)` is where to begin.

Why not the kubeflow SDK (0.5): it is for the API of Trainer 2.3 (`kubeflow-trainer-api>=2.3`), and brings Katib's; it
sets no owner references, so that nothing takes a TrainJob away when its step is killed; it changes no TrainJob that is
there already, which taking one over needs; and its logs cannot be gone on with where a connection broke. What is left
of it would be one POST.
"""

from nightshift.training.kubernetes.errors import TrainJobError
from nightshift.training.kubernetes.nodes import Nodes
from nightshift.training.kubernetes.train import take_away, train_on_nodes

__all__ = ["Nodes", "TrainJobError", "take_away", "train_on_nodes"]
