# cmake -DPROGRAM=... -DMESSAGE=... -P check_mistake.cmake: checks that the program exits with 1 and an error that
# matches MESSAGE. Line breaks count as spaces.
execute_process(COMMAND ${PROGRAM} OUTPUT_VARIABLE output ERROR_VARIABLE error RESULT_VARIABLE code)
message("${output}${error}")
string(REPLACE "\n" " " error "${error}")
if(NOT code STREQUAL "1" OR NOT error MATCHES "^custom_op: .simt. ${MESSAGE}")
  message(FATAL_ERROR "ended with ${code}; expected 1 and an error like: ${MESSAGE}")
endif()
