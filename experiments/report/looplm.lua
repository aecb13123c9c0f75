-- What the LoopLM trace says: the gate and its faults; the source's table at small scale with its ablations; what makes a
-- model add a hundred digits; and where loops are needed. Each part is a file in looplm/.
local common = require "lib.report"

local function report_mutations(report)
  local rows, refs, caught = {}, {}, 0
  for _, record in ipairs(report.records) do
    if record.label == "mutation" then
      refs[#refs + 1] = report:ref(record)
      if record.caught then caught = caught + 1 end
      rows[#rows + 1] = {
        (record.fault:gsub("_", " ")), record.what, record.caught and (record.by:gsub("_", " ")) or "NOT CAUGHT",
      }
    end
  end
  if #rows == 0 then return end
  report:value("faults_planted", #rows, { refs = refs, format = "%d" })
  report:value("faults_caught", caught, { refs = refs, format = "%d" })
  report:table {
    name = "looplm_mutations",
    caption = "Faults planted in LoopLM's own code, and the invariant that caught each",
    columns = {
      { header = "fault", align = "left" }, { header = "what is wrong", align = "left" },
      { header = "caught by", align = "left" },
    },
    rows = rows,
  }
end

-- How many training runs there were, on how many threads each, and how long they took.
local function report_time(report)
  local refs, seconds, threads = {}, 0, 0
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.status == "ok" and record.train_seconds then
      refs[#refs + 1] = report:ref(record)
      seconds = seconds + record.train_seconds + (record.test_seconds or 0)
      threads = math.max(threads, record.problem.threads or 0)
    end
  end
  if #refs == 0 then return end
  report:value("runs", #refs, { refs = refs, format = "%d" })
  report:value("runs_minutes", seconds / 60, { refs = refs, format = "%.0f" })
  if threads > 0 then
    report:value("run_threads", threads, { refs = refs, text = threads == 1 and "one thread" or ("%d threads"):format(threads) })
  end
  report:value("cores", report.hw.cores, { refs = { report:ref(report.records[1]) }, text = common.in_words(report.hw.cores) })
end

local function count_invariants(report)
  local refs = {}
  for _, record in ipairs(report.records) do
    if record.kind == "invariant" then refs[#refs + 1] = report:ref(record) end
  end
  report:value("invariants", #refs, { refs = refs, text = common.in_words(#refs) })
end

return function(report)
  common.gate(report)
  count_invariants(report)
  report_time(report)
  report_mutations(report)
  common.knowledge(report)
  require "report.looplm.ablations"(report)
  require "report.looplm.models"(report)
  require "report.looplm.beyond"(report)
  common.predictions(report)
end
