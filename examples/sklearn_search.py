"""A grid search over the order and the corner of a filter, with scikit-learn's cross-validation."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from bridgeflow import FitStandardize, SignalFilter
from bridgeflow.integrations.sklearn import as_transformer

FS = 200.0

rng = np.random.default_rng(0)
time = np.arange(300) / FS
labels = np.arange(120) % 2
signals = rng.normal(size=(120, 2, 300)) + 8 * np.sin(2 * np.pi * 50 * time + rng.uniform(0, 6, (120, 1, 1)))  # mains
signals += 0.3 * labels[:, None, None] * np.exp(-(((time - 0.7) / 0.08) ** 2))  # a slow response, in half of the trials

low = SignalFilter(design="butter", order=2, cutoff=30.0, fs=FS)
model = make_pipeline(as_transformer([low, FitStandardize(per="all")]), LogisticRegression(max_iter=500))
grid = {
    "pipelinetransformer__signalfilter__order": [1, 2, 4, 6],
    "pipelinetransformer__signalfilter__cutoff": [5.0, 10.0, 45.0],
}
search = GridSearchCV(model, grid, cv=4).fit(signals, labels)

for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
    cutoff, order = params.values()
    print(f"order {order}, {cutoff:4.0f} Hz: {score:.3f}")
print("best:", search.best_params_)
