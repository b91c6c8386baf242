"""What texts of rules mean: their readers, the model that they make, and a packet's way through it."""
