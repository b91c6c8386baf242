"""Open connections, and which of them a change of rules revokes."""
