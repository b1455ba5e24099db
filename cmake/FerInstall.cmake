# cmake --install: headers, libraries, the program, and a package for find_package(fer).
include(CMakePackageConfigHelpers)

add_library(fer_all INTERFACE)
set_target_properties(fer_all PROPERTIES EXPORT_NAME fer)
if(BUILD_SHARED_LIBS)
  set(installed fer_shared)
  target_link_libraries(fer_all INTERFACE fer_shared)
else()
  get_property(installed GLOBAL PROPERTY FER_INSTALLED_TARGETS)
  target_link_libraries(fer_all INTERFACE fer_report fer_c)
endif()
add_library(fer::fer ALIAS fer_all)

install(TARGETS ${installed} fer_options fer_all EXPORT ferTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(TARGETS fer RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
# Manual pages and completion scripts, which the program itself generates.
set(FER_ZSH_FOLDER ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING "Where zsh looks for completion functions")
if(CMAKE_CROSSCOMPILING)
  message(STATUS "fer: no manual pages and completion scripts: the program that writes them is another machine's")
else()
  set(shell_files ${PROJECT_BINARY_DIR}/shell)
  install(CODE "
    file(MAKE_DIRECTORY \"${shell_files}\")
    execute_process(COMMAND \"$<TARGET_FILE:fer>\" man \"${shell_files}/man1\" COMMAND_ERROR_IS_FATAL ANY)
    foreach(shell bash zsh fish)
      execute_process(COMMAND \"$<TARGET_FILE:fer>\" completion \${shell} OUTPUT_FILE \"${shell_files}/\${shell}\"
                      COMMAND_ERROR_IS_FATAL ANY)
    endforeach()" COMPONENT program)
  install(DIRECTORY ${shell_files}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT program)
  install(FILES ${shell_files}/bash RENAME fer DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT program)
  install(FILES ${shell_files}/zsh RENAME _fer DESTINATION ${FER_ZSH_FOLDER} COMPONENT program)
  install(FILES ${shell_files}/fish RENAME fer.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT program)
endif()
install(FILES weights/small-ferplus.safetensors docs/model-card.md DESTINATION ${CMAKE_INSTALL_DATADIR}/fer
        COMPONENT program OPTIONAL)
install(DIRECTORY recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/fer COMPONENT program)
foreach(package "program;fer" "development;libfer-dev")
  list(GET package 0 component)
  list(GET package 1 name)
  install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name} COMPONENT ${component})
endforeach()
install(DIRECTORY include/fer DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(EXPORT ferTargets NAMESPACE fer:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fer COMPONENT development)
configure_package_config_file(cmake/ferConfig.cmake.in ${PROJECT_BINARY_DIR}/ferConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fer)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ferConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ferConfig.cmake ${PROJECT_BINARY_DIR}/ferConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fer COMPONENT development)
