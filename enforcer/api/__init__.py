"""What an API server says of the cluster: listed, watched, read, kept."""
