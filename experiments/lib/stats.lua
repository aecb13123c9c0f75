-- Order statistics of a list of numbers.
local M = {}

-- The q-quantile, 0 <= q <= 1, with linear interpolation between neighbours.
function M.quantile(list, q)
  local sorted = {}
  for i, x in ipairs(list) do sorted[i] = x end
  table.sort(sorted)
  local at = 1 + q * (#sorted - 1)
  local below = math.floor(at)
  local above = math.min(below + 1, #sorted)
  return sorted[below] + (at - below) * (sorted[above] - sorted[below])
end

function M.median(list) return M.quantile(list, 0.5) end

-- Sample by sample a[i] / b[i].
function M.quotients(a, b)
  local q = {}
  for i = 1, math.min(#a, #b) do q[i] = a[i] / b[i] end
  return q
end

-- Wilson's interval for `right` of n trials at 95 %, as shares (E. B. Wilson, 1927).
function M.wilson(right, n)
  local z <const> = 1.959963984540054
  local p, scale = right / n, 1 / (1 + z * z / n)
  local middle = scale * (p + z * z / (2 * n))
  local half = scale * z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  return right > 0 and middle - half or 0, right < n and middle + half or 1
end

-- Exact two-sided sign test: the probability, when both outcomes are as likely, of a split at least as uneven as a
-- against b. McNemar's exact test is this test on the problems that only one of two models solves.
function M.sign_test(a, b)
  local n, least = a + b, math.min(a, b)
  if n == 0 then return 1 end
  local log_choose, tail = 0, 0 -- log of n over k, summed up to `least`
  for k = 0, least do
    if k > 0 then log_choose = log_choose + math.log((n - k + 1) / k) end
    tail = tail + math.exp(log_choose - n * math.log(2))
  end
  return math.min(1, 2 * tail)
end

-- Student's t at 97.5 %, for 1 to 30 degrees of freedom; the normal one beyond.
local T975 <const> = {
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
  2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
}

-- The mean of the differences and its 95 % interval by the paired t test; without spread or with one pair, no interval.
function M.paired(differences)
  local n, mean, square = #differences, 0, 0
  for _, d in ipairs(differences) do mean = mean + d / n end
  for _, d in ipairs(differences) do square = square + (d - mean) ^ 2 end
  if n < 2 then return mean end
  local half = (T975[n - 1] or 1.96) * math.sqrt(square / (n - 1) / n)
  return mean, mean - half, mean + half
end

return M
