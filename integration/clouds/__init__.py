"""The files for clouds, Terraform, compose, autoscaling and admission: run where a real part can be had."""
