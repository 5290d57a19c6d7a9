-- Nothing: this number is kept for what nodes share.
SELECT 1;
