"""The management plane: the part of Azure Resource Manager that azure-mgmt-batch uses, over TLS."""
