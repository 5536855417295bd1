# glmnet's Cox lasso on the pairs of a simulated cohort, one column for each drug
# (the dose of the last 60 days), for test-sparse-peer.R:
#   Rscript make-sparse.R
# R 4.2.2, glmnet 4.1-6. Doses are divided by their standard errors without
# effects, as the penalty of wce_sparse() does; covariates have no penalty.
library(vigitensor)
library(survival)

effects <- c(a = log(4), b = log(0.4), c = 0, d = 0, e = 0)
sim <- simulate_wce(250, days = 150, log_hr = effects, weights = rep(1 / 60, 60),
                    users = 0.4, hazard = 3e-3, seed = 11)
people <- sim$people
times <- sort(unique(people$exit[people$event == 1]))
pairs <- do.call(rbind, lapply(times, function(t) {
  risk <- people[people$entry < t & people$exit >= t, ]
  risk$t <- t
  risk$dead <- risk$event == 1 & risk$exit == t
  risk
}))
dose <- vapply(names(effects), function(d) {
  records <- sim$records[sim$records$drug == d, ]
  taken <- function(id, t) {
    own <- records[records$person_id == id, ]
    sum(own$dose * pmax(0, pmin(own$stop, t) - pmax(own$start, t - 60)))
  }
  mapply(taken, pairs$person_id, pairs$t)
}, numeric(nrow(pairs)))
y <- Surv(pairs$t - 1, pairs$t, pairs$dead)
full <- coxph(y ~ sex + age + dose, data = pairs, ties = "breslow", iter.max = 0,
              init = c(coef(coxph(y ~ sex + age, pairs, ties = "breslow")),
                       0 * effects))
info <- solve(full$var)
z <- 1:2
size <- vapply(seq_along(effects), function(g) {
  k <- 2 + g
  sqrt(info[k, k] - info[k, z] %*% solve(info[z, z], info[z, k]))
}, 0)
x <- cbind(as.matrix(pairs[c("sex", "age")]), sweep(dose, 2L, size, "/"))
lambda <- c(3, 2, 1, 0.5, 0.1)
# glmnet makes its penalty factors add up to the number of columns.
factor <- c(0, 0, rep(1, 5))
# Its own limits are a relative change of 1e-6 and 25 steps.
glmnet::glmnet.control(epsnr = 1e-13, mxitnr = 2000)
x[, z] <- scale(x[, z])
spread <- attr(scale(as.matrix(pairs[c("sex", "age")])), "scaled:scale")
fit <- glmnet::glmnet(
  x, y, family = "cox", standardize = FALSE, penalty.factor = factor,
  lambda = lambda / nrow(x) * sum(factor) / length(factor), thresh = 1e-20,
  maxit = 1e7
)
b <- as.matrix(fit$beta)
b[-z, ] <- b[-z, ] / size
b[z, ] <- b[z, ] / spread
out <- data.frame(lambda = rep(lambda, each = nrow(b)), term = rownames(b),
                  coef = formatC(as.vector(b), digits = 12, format = "g"))
write.csv(out, "golden-sparse.csv", row.names = FALSE, quote = FALSE)
