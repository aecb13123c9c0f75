return function(report) end
