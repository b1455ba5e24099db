# cmake -DSOURCE=... -DWORK=... [-DIGNORE=...] -P without_video.cmake: configures fer as on a machine without
# libav. If this machine has libav, IGNORE is its folder, which the search then skips. The summary must say
# that libav is missing, and no part of the build may need its headers.
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
