"""`index check` and `index rebuild`: the vector index beside the topic that it is made from."""
