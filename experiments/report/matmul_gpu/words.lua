-- How the tables and figures of MatMul on the GPU name a trial.
local common = require "lib.report"

local M = {}

function M.speed(record)
  local p = record.problem
  return common.speed(record, 2 * p.m * p.n * p.k)
end

-- For a figure; for a table, where no line may break within.
function M.spaced(p) return ("%d × %d × %d"):format(p.m, p.n, p.k) end
function M.shape(p) return ("%d×%d×%d"):format(p.m, p.n, p.k) end

-- Names in a sentence.
function M.list(names)
  if #names < 2 then return names[1] or "none" end
  return table.concat(names, ", ", 1, #names - 1) .. " and " .. names[#names]
end

-- Which way A and B are stored: N by rows as in the formula, T by columns.
function M.order(p) return (p.trans_a and "T" or "N") .. (p.trans_b and "T" or "N") end

function M.config(c)
  if not c.tile_m then return (c.variant:gsub("_", " ")) end
  local list = { ("%d×%d×%d"):format(c.tile_m, c.tile_n, c.tile_k) }
  local function add(...) list[#list + 1] = string.format(...) end
  if c.stages then add(c.stages == 1 and "%d stage" or "%d stages", c.stages) end
  if (c.cluster_m or 1) * (c.cluster_n or 1) > 1 then add("cluster %d×%d", c.cluster_m, c.cluster_n) end
  if (c.split or 1) > 1 then add("split %d", c.split) end
  if c.last_round == "shared" then add("last rounds shared") end
  local variant = c.variant ~= "best" and c.variant:gsub("_", " ") .. " " or ""
  return variant .. table.concat(list, ", ")
end

-- The variables that the figures share; records: the trials of the figure.
function M.figure(report, records)
  return {
    peer = records[1].peer:match("^%a+") or "peer", machine = report.hw.name or report.hw.id,
    measured = common.measured(report, records),
  }
end

return M
