"""The account's management plane: what of Azure Resource Manager azure-mgmt-batch asks for, over TLS."""
