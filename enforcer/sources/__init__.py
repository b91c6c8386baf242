"""Where the picture of the cluster comes from, and the folder of manifests as one."""
