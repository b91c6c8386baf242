"""Whether policies, programs and rules mean the same; where they do not, a packet that tells."""
