# Golden values of ROC analysis from R's pROC (Robin et al. 2011, BMC Bioinformatics 12:77), which is no dependency.
#
# Run once: `Rscript proc.R > proc.json` in this folder, with R 4.2.2 and pROC 1.18.0 (Debian bookworm: r-base-core and
# r-cran-proc). The data stand here as written and go into the file, so that the tests read what pROC read.

suppressMessages(library(pROC))

cases <- list(
  plain = list(
    positive = c(1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0),
    first = c(0.95, 0.91, 0.83, 0.72, 0.66, 0.61, 0.52, 0.44, 0.37, 0.29, 0.18, 0.07),
    second = c(0.88, 0.64, 0.93, 0.41, 0.79, 0.57, 0.33, 0.62, 0.12, 0.71, 0.26, 0.21)
  ),
  ties = list(
    positive = c(1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0),
    first = c(5, 5, 4, 3, 3, 3, 5, 1, 2, 2, 4, 1, 2, 4, 3, 1),
    second = c(4, 2, 4, 4, 5, 1, 3, 3, 3, 1, 5, 2, 2, 2, 2, 5)
  ),
  few_positives = list(
    positive = c(1, 1, 1, rep(0, 15)),
    first = c(0.9, 0.6, 0.35, 0.7, 0.5, 0.45, 0.4, 0.38, 0.33, 0.3, 0.28, 0.25, 0.2, 0.15, 0.12, 0.1, 0.05, 0.02),
    second = c(0.8, 0.8, 0.1, 0.8, 0.2, 0.6, 0.4, 0.3, 0.1, 0.1, 0.5, 0.7, 0.2, 0.3, 0.4, 0.6, 0.2, 0.1)
  ),
  below_one_half = list(
    positive = c(1, 1, 1, 1, 0, 0, 0, 0),
    first = c(0.1, 0.2, 0.6, 0.3, 0.5, 0.7, 0.25, 0.9),
    second = c(0.4, 0.35, 0.8, 0.2, 0.3, 0.6, 0.5, 0.1)
  )
)

of <- function(case, scores) {
  roc(case$positive, scores, levels = c(0, 1), direction = "<", quiet = TRUE)
}
number <- function(x) paste(sprintf("%.17g", as.numeric(x)), collapse = ", ")
array <- function(x) paste0("[", number(x), "]")
entry <- function(name, value) sprintf("\"%s\": %s", name, value)

judged <- sapply(names(cases), function(name) {
  case <- cases[[name]]
  first <- of(case, case$first)
  second <- of(case, case$second)
  # The difference is that of the second less the first, as here.
  test <- suppressWarnings(roc.test(second, first, method = "delong", paired = TRUE, conf.level = 0.95))
  bounds <- function(one, level) suppressWarnings(array(ci.auc(one, conf.level = level, method = "delong")))
  entry(name, paste0("{\n    ", paste(c(
    entry("positive", array(case$positive)), entry("first", array(case$first)), entry("second", array(case$second)),
    entry("auc", array(c(auc(first), auc(second)))),
    entry("variance", array(c(var(first, method = "delong"), var(second, method = "delong")))),
    entry("covariance", number(cov(first, second, method = "delong"))),
    entry("ci95_first", bounds(first, 0.95)), entry("ci95_second", bounds(second, 0.95)),
    entry("ci90_first", bounds(first, 0.90)),
    entry("z", number(test$statistic)), entry("p", number(test$p.value)),
    entry("difference_ci95", array(test$conf.int))
  ), collapse = ",\n    "), "\n  }"))
})

cat("{\n  ", entry("made_with", sprintf("\"R %s, pROC %s\"", getRversion(), packageVersion("pROC"))), ",\n  ",
    paste(judged, collapse = ",\n  "), "\n}\n", sep = "")
