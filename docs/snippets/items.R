# Rscript items.R items-shape-bias.csv items-iqa.csv
library(lme4)
files <- commandArgs(trailingOnly = TRUE)

# Shape bias over training: does each doubling of the samples seen change the odds of a shape
# decision? Pictures share the exemplars that their shape and their texture came from.
items <- read.csv(files[1])
decisions <- subset(items, conflict & (is_shape | is_texture) & samples_seen > 0)
decisions$doublings <- log2(decisions$samples_seen)
decisions$doublings <- decisions$doublings - mean(decisions$doublings)
fit <- glmer(is_shape ~ doublings + (1 | shape_exemplar) + (1 | texture_exemplar),
             family = binomial, data = decisions)
print(summary(fit)$coefficients)
print(VarCorr(fit))

# Image quality: rank alignment within each reference picture, then its trend. The minus is for
# scores where higher is better, as TID2013's.
pairs <- read.csv(files[2])
groups <- split(pairs, list(pairs$checkpoint, pairs$reference), drop = TRUE)
aligned <- do.call(rbind, lapply(groups, function(g) data.frame(
  checkpoint = g$checkpoint[1], reference = g$reference[1], samples_seen = g$samples_seen[1],
  srcc = -cor(g$cosine, g$score, method = "spearman"))))
means <- aggregate(srcc ~ checkpoint + samples_seen, aligned, mean)
print(means[order(means$samples_seen), ], row.names = FALSE)
trained <- subset(aligned, samples_seen > 0)
print(summary(lmer(srcc ~ log2(samples_seen) + (1 | reference), trained))$coefficients)
