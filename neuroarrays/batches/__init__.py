"""What a batch is made of, without torch: splits, fields, gathering, masks."""
