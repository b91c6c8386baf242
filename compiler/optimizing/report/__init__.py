"""What was done, in words (`telling`) and as a page to look at (`page`)."""
