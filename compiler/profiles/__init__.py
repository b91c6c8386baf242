"""What rules counted, found again by their words (`words`), out of netpolc's own files (`profile_text`) and what nft
prints as JSON (`nft_json`)."""
