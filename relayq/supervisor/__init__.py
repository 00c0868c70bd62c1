"""Parents a machine's jobs, so that they outlive the worker; standard library only. Workers use `client`."""
