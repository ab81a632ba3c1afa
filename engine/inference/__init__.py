"""What a number is worth: intervals, probabilities and corrections for having looked often.

==============  =====================================================================================
sharpe          Sharpe ratio, PSR (2012 and 2025), minimum track record, power
deflated        trials, expected maximum under the null, deflated Sharpe ratio, minimum backtest length
pbo             probability of backtest overfitting by combinatorially symmetric cross-validation
bootstrap       stationary-bootstrap intervals: Sharpe, differences, mean, profit factor, drawdown
blocks          block length and long-run variance;  ``resample`` holds the kernels
superiority     SPA and StepM (studentised), model confidence set
winrate         exact interval of a win rate, break-even win rate, p-value
calibration     ECE with its null band, Brier and BCE skill, reliability line and curve
forecast        log loss with its no-skill baseline, AUC with an interval
assess          the Sharpe block of the report card in one call
==============  =====================================================================================

Returns are net returns per day (UTC, flat days included) as fractions. Everything random is seeded.
A number that cannot be known is None and ``why`` says so; nothing here returns NaN.
"""
