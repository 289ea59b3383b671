#!/usr/bin/env node
import '../dist/vmd.js';
