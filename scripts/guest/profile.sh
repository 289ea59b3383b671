# Read by the guest's shell.
PS1='guest:\w# '
alias ll='ls -l'
