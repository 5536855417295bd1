library(testthat)
library(vigitensor)

test_check("vigitensor")
