# cmake -DSOURCE=... -DWORK=... [-DIGNORE=...] -P without_video.cmake: configures fer as on a machine that has no libav, for
# which the search leaves out the folder IGNORE where this one has it. The summary must say so, and there must be no part
# of the build that wants its headers.
file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK} -G Ninja "-DCMAKE_IGNORE_PATH=${IGNORE}" -DFER_CUDA=OFF
                -DFER_BUILD_TESTS=OFF -DFER_BUILD_EXAMPLES=OFF
                RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${output}")
endif()
if(NOT output MATCHES "video +no \\(libav not found")
  message(FATAL_ERROR "The summary does not say that libav is missing:\n${output}")
endif()
file(READ ${WORK}/build.ninja rules)
if(rules MATCHES "av_reader")
  message(FATAL_ERROR "There is no libav, yet src/data/video is built.")
endif()
