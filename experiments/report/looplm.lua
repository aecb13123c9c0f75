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

return function(report)
  common.gate(report)
  report_mutations(report)
  common.knowledge(report)
  require "report.looplm.ablations"(report)
  require "report.looplm.models"(report)
  require "report.looplm.beyond"(report)
  common.predictions(report)
end
