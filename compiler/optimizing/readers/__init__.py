"""Text -> values: `reading.listing` is the entrance. Of each tool, where its rules are, which packets a rule may match
(`asked`) and which it matches for sure (`regions`)."""
